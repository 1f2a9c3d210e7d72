"""Images as plans and reports: bases, destinations, differences, copies, signatures, attestations."""
