"""Systems 1 and 2: what a teacher has learned gets into the next model, sample by sample."""
