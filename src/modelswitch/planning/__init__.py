"""Before anything is trained: does it work, what does it cost, how long does it take."""
