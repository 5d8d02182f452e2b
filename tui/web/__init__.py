"""The app and a class in browsers: `ptescope serve`."""
