console.log(1)
import "./styles/index.css"
