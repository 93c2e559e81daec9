"""What any job on a machine needs: a warm start, a lock, a GPU, memory."""
