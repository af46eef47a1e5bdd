"""What each word that an instance says means, and what to do about it: the tables of docs/OBSERVABILITY.md and
docs/TROUBLESHOOTING.md, and of `balance explain`. Only those who explain import it, never a worker."""
