"""Settings of gunicorn inside the image."""

bind = "0.0.0.0:8080"  # the address of a container is not known before it runs
# One process, so that /metrics counts every request; threads carry the load.
workers = 1
worker_class = "gthread"
threads = 8
# The heartbeat lies in memory: a slow disk must not get a worker killed.
worker_tmp_dir = "/dev/shm"  # nosec B108
graceful_timeout = 8  # below the 10 s after which `docker stop` kills
accesslog = None  # /metrics has the numbers
control_socket_disable = True  # nobody manages workers from inside; the file system stays untouched
