//! A page on its own X display with its own sound server: Chromium, Xvfb, PulseAudio.
