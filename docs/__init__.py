"""What the README shows is made here, from the program itself."""
