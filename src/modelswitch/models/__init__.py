"""Networks: building them, reading their inner layers, their answers and what they cost."""
