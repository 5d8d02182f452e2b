"""Text in, text out: lessons, sandbox and drills without cursor movement."""
