// The viewer: two images over each other, a slider between them, one zoom and pan for both.
const ZOOM_STEP = 1.25, ZOOM_MOST = 16, SLIDE_STEP = 5, PAN_STEP = 40, NEAR_BAR = 16;

function createViewer(stage, slider) {
  const images = [".left", ".right"].map((side) => stage.querySelector(side));
  const view = { zoom: 1, x: 0, y: 0 };

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const paint = () => {
    const { width, height } = stage.getBoundingClientRect();
    view.x = clamp(view.x, width * (1 - view.zoom), 0);
    view.y = clamp(view.y, height * (1 - view.zoom), 0);
    stage.style.setProperty("--move",
      `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`);
    stage.classList.toggle("zoomed", view.zoom > 1);
    // Enlarged pixels are shown as they are; a reduced image is smoothed.
    const natural = images[1].naturalWidth || images[0].naturalWidth;
    stage.classList.toggle("sharp", natural > 0 && width * view.zoom >= natural);
  };
  const slide = (percent) => {
    slider.value = clamp(percent, 0, 100);
    stage.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % of the left image`);
  };
  const zoomBy = (factor, atX, atY) => {
    const box = stage.getBoundingClientRect();
    const [x, y] = [atX ?? box.width / 2, atY ?? box.height / 2];
    const zoom = clamp(view.zoom * factor, 1, ZOOM_MOST);
    view.x = x - (x - view.x) * (zoom / view.zoom);
    view.y = y - (y - view.y) * (zoom / view.zoom);
    view.zoom = zoom;
    paint();
    return view.zoom;
  };
  const reset = () => zoomBy(0);
  const pan = (x, y) => {
    view.x += x;
    view.y += y;
    paint();
  };

  slider.addEventListener("input", () => slide(Number(slider.value)));
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // the wheel alone scrolls the page
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoomBy(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP,
      event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  // Dragging moves the line, or the images once they are enlarged and the line is not touched.
  let drag = null;
  const share = (event) => {
    const box = stage.getBoundingClientRect();
    return (100 * (event.clientX - box.left)) / box.width;
  };
  stage.addEventListener("pointerdown", (event) => {
    const width = stage.getBoundingClientRect().width;
    const near = Math.abs(share(event) - Number(slider.value)) * width < 100 * NEAR_BAR;
    drag = { line: near || view.zoom === 1, x: event.clientX, y: event.clientY };
    stage.setPointerCapture(event.pointerId);
    if (drag.line) slide(share(event));
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (drag.line) slide(share(event));
    else pan(event.clientX - drag.x, event.clientY - drag.y);
    Object.assign(drag, { x: event.clientX, y: event.clientY });
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => { drag = null; });
  }
  for (const image of images) {
    image.addEventListener("load", () => {
      stage.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
      paint();
    });
  }
  addEventListener("resize", paint);
  slide(50);

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  // Whether a key was one of the viewer's.
  const key = (event) => {
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) pan(-PAN_STEP * arrow[0], -PAN_STEP * arrow[1]);
    else if (arrow && arrow[0]) slide(Number(slider.value) + SLIDE_STEP * arrow[0]);
    else if (event.key === "+" || event.key === "=") zoomBy(ZOOM_STEP);
    else if (event.key === "-") zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0") reset();
    else return false;
    return true;
  };
  return { images, zoomBy, reset, key };
}
