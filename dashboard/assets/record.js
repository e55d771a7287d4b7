// Copies the text for the health record, and prints the page (style.css shows what is printed).
export default function ({ parentElement, data }) {
  const box = parentElement.querySelector("textarea")
  const said = parentElement.querySelector("output")
  box.value = data.text
  parentElement.querySelector("[data-copy]").onclick = async () => {
    try {
      await navigator.clipboard.writeText(data.text)
    } catch { // no permission, or not served over TLS
      box.select()
      document.execCommand("copy")
    }
    said.textContent = "Copied."
  }
  parentElement.querySelector("[data-print]").onclick = () => window.print()
}
