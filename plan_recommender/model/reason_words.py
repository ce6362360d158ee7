"""The words of the sentences on reasons, in every language: the only place where they are written.

`sentences.py` joins them for `POST /explain` and for files, and the what-if page joins the same ones in the browser:
`python -m tools.page_words` writes them into its `reason_words.js`.
"""

from typing import Final, NamedTuple

from plan_recommender.model.languages import Language

HARDLY: Final = 1.05
"""A factor of the odds up to which a feature hardly matters."""

_MOST_CHANGE: Final = f"{100 * (HARDLY - 1):.0f}"  # in percent


class Shares(NamedTuple):
    """The wordings of a share of the months of a plan's subscribers."""

    none: str
    least: str
    """Less than one percent."""
    some: str
    most: str
    """More than 99 percent."""
    all: str


class ReasonWords(NamedTuple):
    """One language. Names in braces stand for what a sentence fills in; a pair is for many, and for one."""

    nouns: dict[str, tuple[str, str]]
    short_nouns: dict[str, tuple[str, str]]
    """After a number of a range, where the feature is clear."""
    singular_nouns: tuple[str, ...]
    """Features whose verb is in the singular whatever the amount."""
    did: dict[str, str]
    did_not: dict[str, str]
    quantity: dict[str, str]
    usage: str
    missing: dict[str, tuple[str, str]]
    speak: tuple[str, str]
    matter: tuple[str, str]
    for_plan: str

    nothing: dict[str, str]
    """A range that holds 0 only."""
    at_most: str
    at_least: str
    less_than: str
    more_than: str
    exactly: str
    about: str
    between: str

    alike: str
    together: str
    although: str
    because: str
    unexpectedly: str
    """Instead of `because`, where a reader would expect the opposite."""
    both: str
    neither: str
    beside: str
    """Before `neither`, where a share is far larger than the other and the feature hardly matters all the same."""
    shares: Shares
    rarer_shares: Shares
    """Of the smaller share of two."""
    rarer: str
    much_rarer: str

    warned: str
    guess: str
    scarce: str
    conjunction: str
    of_plan: str
    no_month: str
    one_month: str
    months: str
    one_of: str
    some_of: str
    one_on: str
    all_on: str
    on_both: str

    effect: str
    small_effect: str
    no_effect: str
    points: tuple[str, str, str, str]
    """Less than one percentage point, one, several, and more than 99."""

    many: str
    many_of: str
    """More than a billion, before a noun."""
    billions: tuple[str, str]
    of: str
    """Between billions and a noun."""
    power: str
    tiny: str
    million: str
    change: str
    no_change: str
    just_above: str
    nearly: str


REASON_WORDS: Final[dict[Language, ReasonWords]] = {
    "en": ReasonWords(
        nouns={
            "calls": ("calls", "call"),
            "minutes": ("minutes of calls", "minute of calls"),
            "messages": ("text messages", "text message"),
            "mb_used": ("MB of data", "MB of data"),
        },
        short_nouns={
            "calls": ("calls", "call"),
            "minutes": ("minutes", "minute"),
            "messages": ("text messages", "text message"),
            "mb_used": ("MB", "MB"),
        },
        singular_nouns=("mb_used",),
        did={"calls": "made {span}", "minutes": "had {span}", "messages": "sent {span}", "mb_used": "used {span}"},
        did_not={
            "calls": "made no calls",
            "minutes": "had no minutes of calls",
            "messages": "sent no text messages",
            "mb_used": "used no MB of data",
        },
        quantity={
            "calls": "number of calls",
            "minutes": "number of minutes",
            "messages": "number of text messages",
            "mb_used": "amount of data",
        },
        usage=" {noun} this month (typical: {median}) ",
        missing={
            "calls": ("The typical {median}, assumed because the number is missing, ",) * 2,
            "minutes": ("The typical {median}, assumed because the number is missing, ",) * 2,
            "messages": ("The typical {median}, assumed because the number is missing, ",) * 2,
            "mb_used": ("The typical {median}, assumed because the amount is missing, ",) * 2,
        },
        speak=("speak", "speaks"),
        matter=("hardly matter", "hardly matters"),
        for_plan=" for {plan}",
        nothing={
            "calls": "no calls",
            "minutes": "no minutes of calls",
            "messages": "no text messages",
            "mb_used": "no MB of data",
        },
        at_most="at most {end}",
        at_least="at least {end}",
        less_than="less than {end}",
        more_than="more than {end}",
        exactly="exactly {end}",
        about="about {end}",
        between="between {low} and {high}",
        alike=": all of the training table falls into one range",
        together=" together with the other values: in the training table, subscribers of both plans {did} in {share}",
        although=" together with the other values, although in the training table {other} subscribers {did} more "
        "often, in {share}, and {plan} subscribers in {rarer}",
        because=": in the training table, {plan} subscribers {did} in {share} and {other} subscribers in {rarer}",
        unexpectedly=", as the model learned from the training table: there, {plan} subscribers {did} in {share} and "
        "{other} subscribers in {rarer}",
        both=": in the training table, subscribers of both plans {did} in {share}",
        neither=": in the training table, {high} subscribers {did} in {share} and {low} subscribers in {rarer}",
        beside=" next to the other values",
        shares=Shares(
            none="none of their months",
            least="less than 1% of their months",
            some="{percent}% of their months",
            most="more than 99% of their months",
            all="all of their months",
        ),
        rarer_shares=Shares(
            none="none of theirs",
            least="less than 1% of theirs",
            some="{percent}% of theirs",
            most="more than 99% of theirs",
            all="all of theirs",
        ),
        rarer="{share}",
        much_rarer="only {share}",
        warned=", but there is little to go on: {reason}",
        guess=", but this is a guess: no month in the training table had {usage}",
        scarce="the training table has {months}",
        conjunction=" and ",
        of_plan="{months} on {plan}",
        no_month="no month",
        one_month="only one month",
        months="only {rows} months",
        one_of="only one of the {total} months in the training table had {span}, {who}",
        some_of="only {rows} of the {total} months in the training table had {span}, {who}",
        one_on="which was on {plan}",
        all_on="all of them on {plan}",
        on_both="{smart} on Smart and {ultra} on Ultra",
        effect="; this raises the probability of {plan} by {points} and multiplies its odds by {factor}.",
        small_effect=f"; this changes the probability of Ultra by {{points}} and its odds by {_MOST_CHANGE}% at most.",
        no_effect="; this changes neither the probability nor the odds.",
        points=(
            "less than one percentage point",
            "one percentage point",
            "{whole} percentage points",
            "more than 99 percentage points",
        ),
        many="more than a billion",
        many_of="more than a billion",
        billions=("{number} billion", "1 billion"),
        of=" ",
        power="10 to the power of {exponent}",
        tiny="less than 0.01",
        million="more than a million",
        change="Everything else equal, the nearest {quantity} at which {plan} would be recommended is {where}.",
        no_change="Everything else equal, no {quantity} would change the plan.",
        just_above="just above 0",
        nearly="about {amount}",
    ),
    "es": ReasonWords(
        nouns={
            "calls": ("llamadas", "llamada"),
            "minutes": ("minutos de llamadas", "minuto de llamadas"),
            "messages": ("mensajes de texto", "mensaje de texto"),
            "mb_used": ("MB de datos", "MB de datos"),
        },
        short_nouns={
            "calls": ("llamadas", "llamada"),
            "minutes": ("minutos", "minuto"),
            "messages": ("mensajes de texto", "mensaje de texto"),
            "mb_used": ("MB", "MB"),
        },
        singular_nouns=(),
        did={
            "calls": "hicieron {span}",
            "minutes": "hablaron {span}",
            "messages": "enviaron {span}",
            "mb_used": "consumieron {span}",
        },
        did_not={
            "calls": "no hicieron llamadas",
            "minutes": "no hablaron ni un minuto",
            "messages": "no enviaron mensajes de texto",
            "mb_used": "no consumieron datos",
        },
        quantity={
            "calls": "número de llamadas",
            "minutes": "número de minutos",
            "messages": "número de mensajes de texto",
            "mb_used": "volumen de datos",
        },
        usage=" {noun} este mes (lo habitual: {median}) ",
        missing={
            "calls": (
                "Las {median} habituales, supuestas porque falta el dato, ",
                "La {median} habitual, supuesta porque falta el dato, ",
            ),
            "minutes": (
                "Los {median} habituales, supuestos porque falta el dato, ",
                "El {median} habitual, supuesto porque falta el dato, ",
            ),
            "messages": (
                "Los {median} habituales, supuestos porque falta el dato, ",
                "El {median} habitual, supuesto porque falta el dato, ",
            ),
            "mb_used": (
                "Los {median} habituales, supuestos porque falta el dato, ",
                "El {median} habitual, supuesto porque falta el dato, ",
            ),
        },
        speak=("apuntan", "apunta"),
        matter=("apenas influyen", "apenas influye"),
        for_plan=" a {plan}",
        nothing={
            "calls": "cero llamadas",
            "minutes": "cero minutos de llamadas",
            "messages": "cero mensajes de texto",
            "mb_used": "cero MB de datos",
        },
        at_most="como máximo {end}",
        at_least="al menos {end}",
        less_than="menos de {end}",
        more_than="más de {end}",
        exactly="exactamente {end}",
        about="alrededor de {end}",
        between="entre {low} y {high}",
        alike=": toda la tabla de entrenamiento cae en un solo intervalo",
        together=" junto con los demás valores: en la tabla de entrenamiento, los clientes de ambos planes {did} en "
        "{share}",
        although=" junto con los demás valores, aunque en la tabla de entrenamiento eso es más habitual con {other}: "
        "sus clientes {did} en {share} y los de {plan}, {rarer}",
        because=": en la tabla de entrenamiento, los clientes de {plan} {did} en {share} y los de {other}, {rarer}",
        unexpectedly=", según lo que el modelo aprendió de la tabla de entrenamiento: en ella, los clientes de {plan} "
        "{did} en {share} y los de {other}, {rarer}",
        both=": en la tabla de entrenamiento, los clientes de ambos planes {did} en {share}",
        neither=": en la tabla de entrenamiento, los clientes de {high} {did} en {share} y los de {low}, {rarer}",
        beside=" frente a los demás valores",
        shares=Shares(
            none="ninguno de sus meses",
            least="menos del 1 % de sus meses",
            some="el {percent} % de sus meses",
            most="más del 99 % de sus meses",
            all="todos sus meses",
        ),
        rarer_shares=Shares(
            none="ninguno de los suyos",
            least="menos del 1 % de los suyos",
            some="el {percent} % de los suyos",
            most="más del 99 % de los suyos",
            all="todos los suyos",
        ),
        rarer="en {share}",
        much_rarer="solo en {share}",
        warned=", pero hay poca base: {reason}",
        guess=", pero es una conjetura: ningún mes de la tabla de entrenamiento tiene {usage}",
        scarce="la tabla de entrenamiento {months}",
        conjunction=" y ",
        of_plan="{months} de {plan}",
        no_month="no tiene ningún mes",
        one_month="tiene un solo mes",
        months="tiene solo {rows} meses",
        one_of="solo uno de los {total} meses de la tabla de entrenamiento tiene {span}, {who}",
        some_of="solo {rows} de los {total} meses de la tabla de entrenamiento tienen {span}, {who}",
        one_on="y es de {plan}",
        all_on="todos de {plan}",
        on_both="{smart} de Smart y {ultra} de Ultra",
        effect="; esto aumenta la probabilidad de {plan} en {points} y multiplica su razón de probabilidades (odds) "
        "por {factor}.",
        small_effect="; esto cambia la probabilidad de Ultra en {points} y su razón de probabilidades (odds) en un "
        f"{_MOST_CHANGE} % como máximo.",
        no_effect="; esto no cambia ni la probabilidad ni la razón de probabilidades (odds).",
        points=(
            "menos de un punto porcentual",
            "un punto porcentual",
            "{whole} puntos porcentuales",
            "más de 99 puntos porcentuales",
        ),
        many="más de mil millones",
        many_of="más de mil millones de",
        billions=("{number} mil millones", "mil millones"),
        of=" de ",
        power="10 elevado a {exponent}",
        tiny="menos de 0,01",
        million="más de un millón",
        change="Si lo demás no cambia, el {quantity} más cercano con el que se recomendaría {plan} es {where}.",
        no_change="Si lo demás no cambia, ningún {quantity} cambiaría el plan recomendado.",
        just_above="apenas superior a 0",
        nearly="aproximadamente {amount}",
    ),
}
