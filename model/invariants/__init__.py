"""What must hold in every state, and why a broken one hurts."""
