"""Events in recordings: tables of them in and out, matching and scoring them, clips cut at them, detection."""
