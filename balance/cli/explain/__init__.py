"""`balance explain`: what a word of the logs and metrics means, and the pages that say it of all."""
