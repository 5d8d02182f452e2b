"""x86-64: loads and stores, page tables, TLBs."""
