import { Lexer, lexer, type Token, type Tokens } from "marked";
import type { ComponentChild } from "preact";
import { useLanguage } from "../app/context";
import { CARD_IN_SPANISH } from "./cardProse";

/**
 * Draw Markdown as elements. No HTML is ever taken from the text, so a card can bring neither
 * script nor style. Its images are left out, since the page shows the plots themselves.
 */
export function Markdown({ text }: { readonly text: string }) {
  return <div class="markdown">{lexer(text).map(block)}</div>;
}

function block(token: Token, index: number): ComponentChild {
  switch (token.type) {
    case "heading":
      return <Heading key={index} token={token as Tokens.Heading} />;
    case "paragraph":
      if ((token as Tokens.Paragraph).tokens.every(isLeftOut)) return null;
      return <p key={index}>{inline(token as Tokens.Paragraph)}</p>;
    case "list":
      return <List key={index} token={token as Tokens.List} />;
    case "table":
      return <Table key={index} token={token as Tokens.Table} />;
    case "code":
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long line scrolls by keyboard.
        <pre key={index} tabIndex={0}>
          <code>{(token as Tokens.Code).text}</code>
        </pre>
      );
    case "blockquote":
      return <blockquote key={index}>{(token as Tokens.Blockquote).tokens.map(block)}</blockquote>;
    case "hr":
      return <hr key={index} />;
    case "text":
      return <span key={index}>{inline(token as Tokens.Text)}</span>;
    default:
      return null;
  }
}

/** The page has its own first and second headings; a card's begin below them. */
function Heading({ token }: { readonly token: Tokens.Heading }) {
  const Level = `h${Math.min(6, token.depth + 2)}` as "h3" | "h4" | "h5" | "h6";
  return <Level>{inline(token)}</Level>;
}

function List({ token }: { readonly token: Tokens.List }) {
  const items = token.items.map((item, index) => <li key={index}>{item.tokens.map(block)}</li>);
  return token.ordered ? <ol>{items}</ol> : <ul>{items}</ul>;
}

function Table({ token }: { readonly token: Tokens.Table }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard.
    <div class="table-box" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {token.header.map((cell) => (
              <th key={cell.text} scope="col">
                {inline(cell)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column}>{inline(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface Inline {
  readonly tokens?: Token[];
  readonly text: string;
}

const inline = (token: Inline): ComponentChild => <Words token={token} />;

/** What every card says is in the reader's language, the rest in the card's own. */
function Words({ token }: { readonly token: Inline }) {
  const isSpanish = useLanguage() === "es";
  const known = isSpanish ? CARD_IN_SPANISH[token.text.replace(/\s+/g, " ").trim()] : undefined;
  if (known) return <span lang="es">{Lexer.lexInline(known).map(span)}</span>;
  return <>{token.tokens ? token.tokens.map(span) : token.text}</>;
}

function span(token: Token, index: number): ComponentChild {
  switch (token.type) {
    case "strong":
      return <strong key={index}>{inline(token as Tokens.Strong)}</strong>;
    case "em":
      return <em key={index}>{inline(token as Tokens.Em)}</em>;
    case "codespan":
      return <code key={index}>{unescaped((token as Tokens.Codespan).text)}</code>;
    case "br":
      return <br key={index} />;
    case "link":
      return <Link key={index} token={token as Tokens.Link} />;
    case "html":
    case "image":
      return null;
    default:
      return "tokens" in token && token.tokens
        ? inline(token as Tokens.Text)
        : unescaped((token as Tokens.Text).text);
  }
}

const isLeftOut = (token: Token): boolean =>
  token.type === "image" || token.type === "br" || (token.type === "text" && !token.raw.trim());

/** Only addresses of the web become links; a relative one would lead nowhere from this page. */
function Link({ token }: { readonly token: Tokens.Link }) {
  if (!/^https?:\/\//i.test(token.href)) return <>{inline(token)}</>;
  return (
    <a href={token.href} target="_blank" rel="noopener noreferrer">
      {inline(token)}
    </a>
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
};

const unescaped = (text: string): string =>
  text.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity);
