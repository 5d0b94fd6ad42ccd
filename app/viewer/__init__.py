"""The slice viewer: the files that it loads, and the component that draws them."""
