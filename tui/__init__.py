"""What a person touches: command line, Textual app, exports."""
