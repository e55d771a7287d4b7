"""What wrk prints, and the script that it runs."""
