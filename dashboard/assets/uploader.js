// Streamlit's drop zone is a "presentation" that takes the focus, which no screen reader expects.
export default function () {
  const zones = '[data-testid="stFileUploaderDropzone"][role]'
  const free = () => document.querySelectorAll(zones).forEach((zone) => zone.removeAttribute("role"))
  const seen = new MutationObserver(free)
  seen.observe(document.body, { childList: true, subtree: true })
  free()
  return () => seen.disconnect()
}
