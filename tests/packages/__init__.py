"""The packages as others get them: `make packages` builds, installs and uses wheel and sdist."""
