// Columns of text that are as wide as what is in them. Numbers to the right, words to the left.

struct TextTable {
  private var isRight: [Bool] = []
  /// Row after row, the headings first.
  private var cells: [[UInt8]] = []

  /// `headings` have bars between them; one that begins with `>` is of a column of numbers.
  init(_ headings: StaticString) {
    let bytes = [UInt8](headings)
    var rest = bytes[...]
    while let heading = nextPart(&rest, before: UInt8(ascii: "|")) {
      let isRight = heading.first == UInt8(ascii: ">")
      self.isRight.append(isRight)
      cells.append([UInt8](isRight ? heading.dropFirst() : heading))
    }
  }

  /// The next cell of a row, or the first of the next.
  @inline(never) mutating func add(_ build: (inout [UInt8]) -> Void) {
    var cell: [UInt8] = []
    build(&cell)
    cells.append(cell)
  }

  func append(to text: inout [UInt8]) {
    let columns = isRight.count
    var widths = Array(repeating: 0, count: columns)
    for (index, cell) in cells.enumerated() {
      widths[index % columns] = max(widths[index % columns], cell.count)
    }
    for (index, cell) in cells.enumerated() {
      let column = index % columns
      let padding = widths[column] - cell.count
      if column > 0 { text.append("  ") }
      if isRight[column] { text.append(spaces: padding) }
      text += cell
      if column == columns - 1 {
        text.append("\n")
      } else if !isRight[column] {
        text.append(spaces: padding)
      }
    }
  }
}

extension [UInt8] {
  @inline(never) mutating func append(spaces count: Int) {
    for _ in 0..<Swift.max(0, count) { append(UInt8(ascii: " ")) }
  }

  /// As people say it: 417ms, 12s, 3m20s, 4h2m, 12d3h.
  @inline(never) mutating func append(span: Nanoseconds) {
    let milliseconds = Swift.max(0, span.count / 1_000_000)
    guard milliseconds >= 1_000 else {
      append(decimal: UInt64(milliseconds))
      return append("ms")
    }
    let seconds = UInt64(milliseconds / 1_000)
    switch seconds {
    case ..<60: append(seconds, "s")
    case ..<3_600: append(seconds / 60, "m", seconds % 60, "s")
    case ..<86_400: append(seconds / 3_600, "h", seconds / 60 % 60, "m")
    case _: append(seconds / 86_400, "d", seconds / 3_600 % 24, "h")
    }
  }

  private mutating func append(_ number: UInt64, _ unit: StaticString) {
    append(decimal: number)
    append(unit)
  }

  private mutating func append(
    _ number: UInt64, _ unit: StaticString, _ rest: UInt64, _ smallUnit: StaticString
  ) {
    append(number, unit)
    append(rest, smallUnit)
  }

  /// With three digits or four: 17 B, 1.5 KiB, 233 MiB.
  @inline(never) mutating func append(bytes: UInt64) {
    let units = [UInt8]("KMGTPE")
    var unit = 0
    var tenths = bytes >= UInt64.max / 10 ? bytes : bytes * 10
    if bytes >= UInt64.max / 10 {
      tenths = bytes / 1024 * 10
      unit = 1
    }
    while tenths >= 10_240 {
      tenths /= 1024
      unit += 1
    }
    append(decimal: tenths / 10)
    if unit > 0 && tenths < 1_000 {
      append(".")
      append(decimal: tenths % 10)
    }
    append(" ")
    if unit > 0 {
      append(units[unit - 1])
      append("i")
    }
    append("B")
  }
}
