-- The control group of a run, where the daemon divides its own: what is left of the run is found there, by any daemon.
ALTER TABLE run ADD COLUMN cgroup TEXT;
