"""The rules: what must hold in every state, one subject a file. `registry` finds whatever is here."""
