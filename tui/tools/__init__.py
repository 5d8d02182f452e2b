"""What other programs can ask for over the Model Context Protocol."""
