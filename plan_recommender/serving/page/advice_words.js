// The words of the sentences in advice_sentence.js: plan_recommender/billing/advice_words.py, written by
// `python -m tools.page_words`. What stands in braces is filled in.
export const ADVICE_WORDS = {
  "en": {
    "sentences": {
      "only": "Keep {plan}: next month it is expected to cost about {expected} {range}.",
      "choose, only": "Choose {plan}, the only plan: next month it is expected to cost about {expected} {range}.",
      "choose": "Choose {plan}: next month it is expected to cost about {expected} {range}, {less} than {other}; {often}.",
      "choose, the same": "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as {other}.",
      "saves enough": "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of {other_expected}, which saves {saving} {saving_range}; {often}.",
      "cheapest": "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about {other_expected}.",
      "saves too little": "Keep {plan}: next month {other} is expected to cost {only_less}, too little to be worth a switch.",
      "not sure enough": "Keep {plan}: next month {other} is expected to cost {less}, but it would save in only about {of_100} of 100 months like this.",
      "too few months": "Keep {plan} for now: next month {other} is expected to cost {less}, but usage is known of {months} of the {needed} months that an advice to switch needs."
    },
    "phrases": {
      "less": "about {saving} less",
      "only_less": "only about {saving} less",
      "saving": "about {saving}",
      "saves": "it saves in about {of_100} of 100 months like this",
      "costs less": "it costs less in about {of_100} of 100 months like this"
    },
    "hardly": {
      "less": "hardly less",
      "only_less": "hardly less",
      "saving": "hardly anything"
    },
    "surely": {
      "saves": "in all likelihood it saves",
      "costs less": "in all likelihood it costs less"
    },
    "interval": "(90 % interval {low} to {high})",
    "to_high": "(in 9 of 10 months between that and {high})",
    "from_low": "(in 9 of 10 months between {low} and that)",
    "savings": "(90 % interval: from {low} more to {high} less)",
    "always": "(in 9 of 10 months exactly that)",
    "uncertain": "; only one month is known, so this is uncertain."
  },
  "es": {
    "sentences": {
      "only": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
      "choose, only": "Elija {plan}, el único plan: se espera que el próximo mes cueste unos {expected} {range}.",
      "choose": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, {less} que {other}; {often}.",
      "choose, the same": "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, lo mismo que {other}.",
      "saves enough": "Cambie de {other} a {plan}: se espera que el próximo mes cueste unos {expected} en lugar de {other_expected}, {saving} {saving_range}; {often}.",
      "cheapest": "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}, y con {other}, unos {other_expected}.",
      "saves too little": "Mantenga {plan}: se espera que {other} cueste el próximo mes {only_less}, demasiado poco para que valga la pena cambiar.",
      "not sure enough": "Mantenga {plan}: se espera que {other} cueste el próximo mes {less}, pero solo ahorraría en unos {of_100} de cada 100 meses como este.",
      "too few months": "Mantenga {plan} por ahora: se espera que {other} cueste el próximo mes {less}, pero solo se conoce el consumo de {months} de los {needed} meses necesarios para aconsejar un cambio."
    },
    "phrases": {
      "less": "unos {saving} menos",
      "only_less": "solo unos {saving} menos",
      "saving": "un ahorro de unos {saving}",
      "saves": "ahorra en unos {of_100} de cada 100 meses como este",
      "costs less": "cuesta menos en unos {of_100} de cada 100 meses como este"
    },
    "hardly": {
      "less": "apenas menos",
      "only_less": "apenas menos",
      "saving": "un ahorro mínimo"
    },
    "surely": {
      "saves": "con toda probabilidad, ahorra",
      "costs less": "con toda probabilidad, cuesta menos"
    },
    "interval": "(intervalo del 90 %: de {low} a {high})",
    "to_high": "(en 9 de cada 10 meses, entre esa cifra y {high})",
    "from_low": "(en 9 de cada 10 meses, entre {low} y esa cifra)",
    "savings": "(intervalo del 90 %: de {low} más a {high} menos)",
    "always": "(en 9 de cada 10 meses, exactamente esa cifra)",
    "uncertain": "; solo se conoce un mes, así que es incierto."
  }
};
