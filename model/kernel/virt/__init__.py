"""KVM, as in virt/kvm and arch/x86/kvm."""
