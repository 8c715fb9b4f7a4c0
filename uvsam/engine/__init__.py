"""Where work runs: in this process, in threads or processes of this machine, or on a Dask cluster."""
