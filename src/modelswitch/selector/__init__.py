"""System 3: per sample, the modality that can be trusted."""
