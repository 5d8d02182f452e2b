"""What a stage shows and moves: a lesson, a sandbox session, a drill, a counterexample."""
