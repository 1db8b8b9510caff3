// Texts for people: spans, byte counts, tables, and what is drawn on a terminal.
import Testing

@testable import Core

struct SpanAndBytesTests {
  @Test(arguments: [
    (0, "0ms"), (-5, "0ms"), (417, "417ms"), (999, "999ms"), (1_000, "1s"), (12_999, "12s"),
    (59_999, "59s"), (60_000, "1m0s"), (200_000, "3m20s"), (3_599_000, "59m59s"),
    (3_600_000, "1h0m"), (14_520_000, "4h2m"), (86_399_000, "23h59m"), (86_400_000, "1d0h"),
    (1_047_600_000, "12d3h"),
  ])
  func aSpanAsPeopleSayIt(milliseconds: Int64, expected: String) {
    var bytes: [UInt8] = []
    bytes.append(span: .milliseconds(milliseconds))
    #expect(text(bytes) == expected)
  }

  @Test(arguments: [
    (0, "0 B"), (17, "17 B"), (999, "999 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"),
    (1_536, "1.5 KiB"), (102_399, "99.9 KiB"), (102_400, "100 KiB"), (1_048_575, "1023 KiB"),
    (1_048_576, "1.0 MiB"), (244_318_208, "233 MiB"), (1 << 30, "1.0 GiB"), (3 << 40, "3.0 TiB"),
    (1 << 50, "1.0 PiB"), (1 << 60, "1.0 EiB"), (UInt64.max / 10, "1.5 EiB"),
    (UInt64.max / 10 + 1, "1.5 EiB"), (UInt64.max, "15.9 EiB"),
  ])
  func bytesWithThreeDigitsOrFour(count: UInt64, expected: String) {
    var bytes: [UInt8] = []
    bytes.append(bytes: count)
    #expect(text(bytes) == expected)
  }

  @Test(arguments: [(0, "0.000"), (-1, "0.000"), (7, "0.007"), (45, "0.045"), (61_250, "61.250")])
  func secondsWithThreeDecimals(milliseconds: Int64, expected: String) {
    var bytes: [UInt8] = []
    bytes.append(seconds: .milliseconds(milliseconds))
    #expect(text(bytes) == expected)
  }

  @Test(arguments: [(0, "0.0 ms"), (99_999, "0.0 ms"), (1_234_567, "1.2 ms")])
  func millisecondsWithOneDecimal(nanoseconds: Int64, expected: String) {
    var bytes: [UInt8] = []
    bytes.append(milliseconds: Nanoseconds(count: nanoseconds))
    #expect(text(bytes) == expected)
  }
}

struct TextTableTests {
  @Test func columnsAreAsWideAsWhatIsInThem() {
    var table = TextTable("NAME|>SIZE|STATE")
    for cell: StaticString in ["a", "1", "open", "something", "123456", "x"] {
      table.add { $0.append(cell) }
    }
    var bytes: [UInt8] = []
    table.append(to: &bytes)
    #expect(
      text(bytes) == """
        NAME         SIZE  STATE
        a               1  open
        something  123456  x

        """)
  }
}

/// A terminal that knows what `frame` uses, and nothing else: it traps at anything that it does not
/// know, and says where something would scroll or wrap.
private struct Terminal {
  let columns: Int
  let rows: Int
  var screen: [[Character]]
  var row = 0
  var column = 0
  var hasScrolled = false
  var hasWrapped = false

  init(columns: Int, rows: Int) {
    (self.columns, self.rows) = (columns, rows)
    screen = .init(repeating: .init(repeating: "?", count: columns), count: rows)
  }

  var lines: [String] {
    screen.map { line in
      String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  mutating func show(_ frame: [UInt8]) throws {
    var rest = frame[...]
    while let byte = rest.popFirst() {
      switch byte {
      case 0x1b: try control(&rest)
      case 13: column = 0
      case 10:
        if row == rows - 1 { hasScrolled = true } else { row += 1 }
      case 0x20...0x7e:
        // A letter in the last column leaves the cursor on it, until the next letter wraps.
        if column == columns {
          hasWrapped = true
          return
        }
        screen[row][column] = Character(UnicodeScalar(byte))
        column += 1
      case _: throw Unknown(byte: byte)
      }
    }
  }

  private mutating func control(_ rest: inout ArraySlice<UInt8>) throws {
    guard rest.popFirst() == UInt8(ascii: "["), let letter = rest.popFirst() else {
      throw Unknown(byte: 0x1b)
    }
    let from = min(column, columns - 1)
    switch letter {
    case UInt8(ascii: "H"): (row, column) = (0, 0)
    case UInt8(ascii: "K"): for place in from..<columns { screen[row][place] = " " }
    case UInt8(ascii: "J"):
      for place in from..<columns { screen[row][place] = " " }
      for below in (row + 1)..<max(rows, row + 1) {
        screen[below] = .init(repeating: " ", count: columns)
      }
    case _: throw Unknown(byte: letter)
    }
  }

  struct Unknown: Error { let byte: UInt8 }
}

struct TerminalScreenTests {
  private func shown(_ content: String, columns: Int, rows: Int) throws -> [String] {
    var terminal = Terminal(columns: columns, rows: rows)
    try terminal.show(
      TerminalScreen.frame([UInt8](content.utf8), columns: columns, rows: rows))
    #expect(!terminal.hasScrolled && !terminal.hasWrapped)
    return terminal.lines
  }

  @Test func whatWasThereBeforeIsGone() throws {
    #expect(try shown("one\ntwo\n", columns: 10, rows: 4) == ["one", "two", "", ""])
    #expect(try shown("", columns: 3, rows: 2) == ["", ""])
    #expect(try shown("a\n\nb\n", columns: 3, rows: 3) == ["a", "", "b"])
  }

  @Test func aFullLineKeepsItsLastLetter() throws {
    #expect(try shown("12345\n", columns: 5, rows: 3) == ["12345", "", ""])
    #expect(try shown("12345\n12345\n", columns: 5, rows: 2) == ["12345", "12345"])
    #expect(try shown("12345\nx\n", columns: 5, rows: 2) == ["12345", "x"])
  }

  @Test func moreThanFitsIsCut() throws {
    #expect(try shown("1234567\nb\nc\nd\n", columns: 5, rows: 3) == ["12345", "b", "c"])
  }

  @Test(arguments: 0..<200)
  func noTextEverScrollsOrWraps(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let columns = Int.random(in: 1...20, using: &generator)
    let rows = Int.random(in: 1...6, using: &generator)
    let lines = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
      String(repeating: "x", count: Int.random(in: 0...24, using: &generator))
    }
    let content = lines.map { $0 + "\n" }.joined()
    let expected = (0..<rows).map { $0 < lines.count ? String(lines[$0].prefix(columns)) : "" }
    #expect(try shown(content, columns: columns, rows: rows) == expected)
  }
}
