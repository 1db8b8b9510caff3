// Text that is drawn over itself in a terminal (ECMA-48 control sequences): cut to its size, so
// that it never scrolls or wraps.

public enum TerminalScreen {
  /// The other screen, as full-screen programs use it, without a cursor.
  public static let enter = [UInt8]("\u{1b}[?1049h\u{1b}[?25l")
  public static let leave = [UInt8]("\u{1b}[?25h\u{1b}[?1049l")

  /// `text`, lines of printable ASCII, from the upper left corner; what was there before is gone.
  public static func frame(_ text: [UInt8], columns: Int, rows: Int) -> [UInt8] {
    var frame = [UInt8]("\u{1b}[H")
    var row = 0
    var rest = text[...]
    while row < rows, let line = nextPart(&rest, before: UInt8(ascii: "\n")) {
      if row > 0 { frame.append("\r\n") }
      frame += line.prefix(columns)
      // To the end of the line; a full line has none, and its last letter would go.
      if line.count < columns { frame.append("\u{1b}[K") }
      row += 1
    }
    // Whatever is below: from the next line on, because a full line's last letter would go too.
    if row < rows { frame.append(row > 0 ? "\r\n\u{1b}[J" : "\u{1b}[J") }
    return frame
  }
}
