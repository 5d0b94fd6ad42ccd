"""The labels' colours, the same everywhere: Okabe and Ito (2008), safe for colour-blind eyes."""

LABEL_COLOURS = {"anterior": "#E69F00", "posterior": "#56B4E9"}
LABEL_RGB = {
    name: tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    for name, colour in LABEL_COLOURS.items()
}
