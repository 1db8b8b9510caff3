// Load: both ends of a path under load, and the figures of it. `serve` is the far end, of all
// cases at once; `run` is the near end of one case, directly or through a forwarder.
import Linux

let usage = """
  usage: Load serve --port PORT
         Load run CASE --port PORT [--connections N] [--idle N] [--size BYTES] [--seconds S]
                  [--target PORT]
  cases: \(Case.allCases.map(\.rawValue).joined(separator: " "))

  """

func complain(_ text: String, code: Int32) -> Never {
  write(Array(text.utf8), to: 2)
  exitProcess(code: code)
}

func serve(_ words: ArraySlice<String>) throws(Errno) {
  guard let order = Order(.roundTrips, options: words) else { complain(usage, code: 64) }
  var server = try Server(port: order.port)
  write(Array("listening on \(order.port)\n".utf8), to: 1)
  server.run()
}

func run(_ words: ArraySlice<String>) throws(Errno) {
  guard let load = words.first.flatMap(Case.init(rawValue:)),
    let order = Order(load, options: words.dropFirst())
  else { complain(usage, code: 64) }
  _ = try raiseDescriptorLimit()
  let figures: Figures
  switch load {
  case .connects, .clientCloses, .firstByte:
    var lives = try Lives(order)
    figures = lives.run()
  case .bulkUp, .bulkDown, .roundTrips, .idleActive, .mixed:
    var crowd = try Crowd(order)
    figures = crowd.run()
  }
  if figures.totals.connections == 0 {
    complain("nothing could be connected to port \(order.port)\n", code: 1)
  }
  write(Array(figures.line(for: order).utf8), to: 1)
}

let words = CommandLine.arguments.dropFirst()
do throws(Errno) {
  switch words.first {
  case "serve": try serve(words.dropFirst())
  case "run": try run(words.dropFirst())
  case _: complain(usage, code: 64)
  }
} catch {
  complain("errno \(error.code)\n", code: 71)
}
