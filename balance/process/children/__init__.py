"""Child processes as the supervisor sees them: what each is given, which slot it fills, how it died, whether it stalls."""
