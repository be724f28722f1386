//! What GitLab told us about a job. Pure: it reads no file, no environment, no clock.
