"""BLAKE2 without OpenSSL: hashlib would load that library, too, which costs 3 ms whenever the program starts."""

try:
    from _blake2 import blake2b
except ImportError:  # a Python that keeps it elsewhere
    from hashlib import blake2b

__all__ = ["blake2b"]
