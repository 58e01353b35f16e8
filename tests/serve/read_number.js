(selector) => {
  const shown = document.querySelector(selector);
  const canvas = new OffscreenCanvas(256, 256);
  const pixels = canvas.getContext("2d");
  pixels.drawImage(shown, 0, 0, 256, 256);
  let number = 0;
  for (let bit = 0; bit < 16; bit++) {
    if (pixels.getImageData(16 * bit + 8, 8, 1, 1).data[0] > 127) number |= 1 << bit;
  }
  return number;
}
