"""The same commands on the kernel of this machine: processes of their own, what is seen of them, and the comparison."""
