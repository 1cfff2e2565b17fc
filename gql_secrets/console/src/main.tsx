import { render } from "preact";
import { App } from "./app";
import { checkSession } from "./graphql/session";
import "./styles/index.css";

render(<App />, document.getElementById("app")!);
void checkSession();
