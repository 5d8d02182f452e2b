"""What is kept of a learner: progress and recap."""
