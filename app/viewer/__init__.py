"""The slice viewer: what a page hands over, and the component that draws it."""
