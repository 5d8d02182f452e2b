"""The comparison of exporters, grabbers and defences."""
