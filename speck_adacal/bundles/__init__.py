"""What a bundle of a network holds: configuration, known answers, verification, differences."""
