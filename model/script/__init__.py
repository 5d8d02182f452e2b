"""The script language: text → command → procedure."""
