"""The screens: home, the stage on which lessons and sessions play, help, the prompt."""
