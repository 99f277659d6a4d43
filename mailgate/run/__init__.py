"""The room where jobs run: the job folder, the engines, the sandbox and what is collected."""
