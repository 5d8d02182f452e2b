"""What the sandbox keeps and reads besides the machine: session files, autosave, prompt history, completion."""
