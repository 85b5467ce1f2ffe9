"""The virtual dev kit: boards that `samna.device` lists and opens, each on a thread of its own."""
